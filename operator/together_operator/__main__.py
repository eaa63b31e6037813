"""`python -m together_operator` is the console script `together-operator`."""

from together_operator.cli import main

if __name__ == "__main__":
    main()
