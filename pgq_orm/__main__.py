"""`python -m pgq_orm` is the command `pgq`."""

from pgq_orm.cli import main

if __name__ == "__main__":
    main()
