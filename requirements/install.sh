#!/usr/bin/env bash
# pip install with the pinned versions, tried again when the network fails; what was downloaded stays
# in pip's cache. Usage: install.sh 'WHAT IT IS FOR' ARGUMENTS OF PIP INSTALL...
set -u
what=$1
shift
here=$(dirname "$0")
echo "==> $what"
for pause_s in 5 20 0; do
  python -m pip install --disable-pip-version-check --retries 8 --timeout 60 \
    --constraint "$here/constraints.txt" "$@" 2>&1 | grep --line-buffered -v \
    -e '^Requirement already satisfied' -e '^Looking in ' -e '^Constraints are' -e "^WARNING: Location 'file:"
  [ "${PIPESTATUS[0]}" = 0 ] && exit 0
  [ $pause_s = 0 ] && break
  echo "that failed; trying again in $pause_s s" >&2
  sleep $pause_s
done
echo "could not install: $what. The message of pip is above. Check the network and the package" \
  "index (pip config list), then make again: it goes on where it stopped" >&2
exit 1
