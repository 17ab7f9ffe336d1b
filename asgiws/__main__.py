"""`python -m asgiws`: the same as the command `asgiws`.

Rules of this file: nothing but the call.
"""

from asgiws.cli import main

if __name__ == "__main__":
    main()
