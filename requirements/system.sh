#!/usr/bin/env bash
# The few things that do not come from pip: a compiler and Python's headers for the interfaces' type
# support, and PortAudio for microphone and speaker. Installs what is missing where it may (as root
# or with a sudo that does not ask) and says the command where it may not.
#   system.sh [PYTHON]          for running
#   system.sh [PYTHON] tests    also PipeWire: tests of microphone and speaker have devices of their own
set -u
python=${1:-python3}

needed=() wanted=()
command -v "$python" >/dev/null || {
  echo "there is no $python; install Python 3.11 or 3.12, or say which: make PYTHON=python3.12" >&2
  exit 1
}
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
  echo "$("$python" --version) is not 3.10 to 3.13, for which ROS 2 comes from pip;" \
    "say which to use: make PYTHON=python3.12" >&2
  exit 1
}
version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
"$python" -c 'import venv, ensurepip' 2>/dev/null || needed+=("$version-venv")
"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
  || needed+=("$version-dev")
command -v cc >/dev/null || command -v gcc >/dev/null || needed+=(gcc libc6-dev)
command -v c++ >/dev/null || command -v g++ >/dev/null || needed+=(g++)
"$python" -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library("portaudio"))' \
  || wanted+=(libportaudio2)
if [ "${2:-}" = tests ]; then
  for program in pipewire pw-cli wireplumber dbus-run-session; do
    command -v $program >/dev/null || { wanted+=(pipewire pipewire-bin wireplumber dbus); break; }
  done
  ls /usr/lib/*/alsa-lib/libasound_module_pcm_pipewire.so >/dev/null 2>&1 \
    || wanted+=(pipewire-alsa)
fi

[ ${#needed[@]} -eq 0 ] && [ ${#wanted[@]} -eq 0 ] && exit 0
all=("${needed[@]}" "${wanted[@]}")

become=none
if command -v apt-get >/dev/null; then
  if [ "$(id -u)" = 0 ]; then become=''; elif sudo -n true 2>/dev/null; then become=sudo; fi
fi
if [ "$become" != none ]; then
  echo "==> system packages: ${all[*]}"
  $become env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null' \
    sh "${all[@]}" && exit 0
  echo "apt-get could not install ${all[*]} (its message is above)" >&2
fi
if [ ${#wanted[@]} -gt 0 ]; then
  echo "note: without ${wanted[*]} there is no sound device (or none for the tests, which are then" \
    "skipped); everything else works. Get it with: apt install ${wanted[*]}" >&2
fi
if [ ${#needed[@]} -gt 0 ]; then
  echo "missing: ${needed[*]}. Install them (as root: apt install ${needed[*]}), then make again" >&2
  exit 1
fi
exit 0
