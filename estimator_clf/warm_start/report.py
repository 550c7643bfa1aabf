"""Table of a warm start: restored, mismatched, fresh and unused variables."""

from estimator_clf.warm_start.assignment import STATES, Assignment

# Variables listed per state; `Assignment.rows` has all.
_LISTED = 12


def table_of(assignment: Assignment, listed: int = _LISTED) -> str:
    """Formats an assignment as a text table.

    Args:
      assignment: what is restored.
      listed: maximum number of variables to list per state.
    """
    rows = []
    for state in STATES:
        those = [row for row in assignment.rows if row.state == state]
        for row in those[:listed]:
            shape = 'x'.join(map(str, row.shape)) or 'scalar'
            source = row.source if row.source != row.name else ''
            rows.append((state, row.name, shape, source))
        if len(those) > listed:
            rows.append((state, f'… and {len(those) - listed} more', '', ''))
    head = ('state', 'variable', 'shape', 'source')
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells):
        padded = (c.ljust(w) for c, w in zip(cells, widths, strict=True))
        return '  ' + '  '.join(padded).rstrip()

    counts = ', '.join(f'{n} {state}' for state, n in assignment.counts().items())
    lines = [f'Warm start from {assignment.path}: {counts}', line(head)]
    return '\n'.join([*lines, line(['-' * w for w in widths]), *map(line, rows)])
