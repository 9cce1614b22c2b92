"""`python -m convgraft` is the command line."""

from convgraft.cli.main import main

if __name__ == "__main__":
    main()
