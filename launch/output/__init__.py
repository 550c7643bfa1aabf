"""Terminal output of the programs: streams, tables, progress bars, crash notices."""
