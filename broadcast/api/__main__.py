"""`python -m broadcast.api`: the API process."""

from broadcast.api.server import main

if __name__ == "__main__":
    main()
