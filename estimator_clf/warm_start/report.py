"""What a warm start has done, for a person to read."""

from estimator_clf.warm_start.assignment import STATES

# Of each kind so many are named; who wants all finds them in the `Plan`.
_NAMED = 12


def table_of(plan, named=_NAMED):
    """Lays out a `Plan`.

    Args:
      plan: `Plan`.
      named: how many variables of each state to name.

    Returns:
      Text of several lines.
    """
    rows = []
    for state in STATES:
        those = [row for row in plan.rows if row.state == state]
        for row in those[:named]:
            shape = 'x'.join(map(str, row.shape)) or 'scalar'
            source = row.source if row.source != row.name else ''
            rows.append((state, row.name, shape, source))
        if len(those) > named:
            rows.append((state, f'… and {len(those) - named} more', '', ''))
    head = ('state', 'variable', 'shape', 'there')
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells):
        padded = (c.ljust(w) for c, w in zip(cells, widths, strict=True))
        return '  ' + '  '.join(padded).rstrip()

    counts = ', '.join(f'{n} {state}' for state, n in plan.counts().items())
    lines = [f'Warm start from {plan.path}: {counts}', line(head)]
    return '\n'.join([*lines, line(['-' * w for w in widths]), *map(line, rows)])
