"""Write the users of Redis and NATS into ``deploy``. Run through ``make permissions``, after a change of the table in
tools/permissions.py or of a Lua script."""

from tools.permissions import ROOT, files


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
