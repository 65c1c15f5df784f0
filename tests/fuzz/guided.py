"""One target under atheris, which ends the process: ``python -m tests.fuzz.guided TARGET CORPUS [OPTION …]``."""

import sys

import atheris

with atheris.instrument_imports(include=["omni_translator", "omni_wire"]):
    from tests.fuzz.targets import TARGETS


def main(words: list[str]) -> None:
    target = TARGETS[words[0]]

    def once(data: bytes) -> None:
        target.run(data)

    atheris.Setup([sys.argv[0], *words[1:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
