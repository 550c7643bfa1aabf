"""One file per format; `input.registry` finds them."""
