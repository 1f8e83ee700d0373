#!/usr/bin/env bash
# pip install with the pinned versions, tried again when the network fails; what was downloaded stays
# in pip's cache. Usage: install.sh 'WHAT IT IS FOR' ARGUMENTS OF PIP INSTALL...
set -u
what=$1
shift
here=$(dirname "$0")
echo "==> $what"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for pause_s in 5 20 0; do
  pip=(python -m pip install --retries 8 --timeout 60 --constraint "$here/constraints.txt" "$@")
  if [ -t 1 ]; then
    "${pip[@]}" && exit 0    # pip's own progress bars
  else
    # Of pip's chatter, what says that something large is on its way.
    "${pip[@]}" 2>&1 | tee "$log" | grep --line-buffered -E '^ *(Downloading|Using cached) .*[0-9] (MB|GB)\)'
    [ "${PIPESTATUS[0]}" = 0 ] && exit 0
    tail -n 40 "$log" >&2
  fi
  [ $pause_s = 0 ] && break
  echo "that failed; trying again in $pause_s s" >&2
  sleep $pause_s
done
echo "could not install: $what. The message of pip is above. Check the network and the package" \
  "index (pip config list), then make again: it goes on where it stopped" >&2
exit 1
