"""`python -m experiments` lists every experiment, with its time per preset."""

import textwrap

from experiments.engine.figures import catalogue


def main() -> None:
    """Prints the list."""
    print("Run one with: python -m NAME PRESET      (NAME --help tells more)\n")
    for entry in catalogue.entries():
        times = ", ".join(f"{preset} {time}" for preset, time in entry.times.items())
        print(entry.name)
        for line in (entry.title, times):
            print(textwrap.fill(line, 78, initial_indent="  ", subsequent_indent="  "))
        print()


if __name__ == "__main__":
    main()
