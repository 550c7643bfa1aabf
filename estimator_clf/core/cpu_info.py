"""What Linux says about the processor."""


def facts():
    """Returns the facts of the first core in /proc/cpuinfo, such as 'model name'.

    Returns:
      dict name -> text; empty where there is no such file.
    """
    found = {}
    try:
        with open('/proc/cpuinfo', encoding='utf-8', errors='replace') as file:
            for line in file:
                name, colon, value = line.partition(':')
                if colon:
                    found.setdefault(name.strip(), value.strip())
    except OSError:  # Not Linux.
        pass
    return found


def features():
    """Returns the names of its instructions, such as 'avx512_bf16', as a list."""
    return facts().get('flags', '').split()
