#!/bin/sh
# Seeds mistakes into a copy of the sources, one at a time, and sees that a test or model finds each of them.
# The mistakes are in scripts/mutants/*.toml. Arguments: names, or the beginnings of names, of those to run (all of
# them without any); --check only sees whether each still applies; --list prints them.
set -eu
exec python3 "$(dirname "$0")/mutants/run.py" "$@"
