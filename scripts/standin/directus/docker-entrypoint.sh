#!/bin/sh
# As in the official Node images: a first argument that is an option or no program is an argument of node.
set -e
if [ "${1#-}" != "$1" ] || { [ -n "${1:-}" ] && ! command -v "$1" >/dev/null; } || { [ -f "${1:-}" ] && [ ! -x "$1" ]; }; then
  set -- node "$@"
fi
exec "$@"
