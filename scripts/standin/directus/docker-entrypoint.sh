#!/bin/sh
# As in the official Node images: if the first argument is an option or not a program, all are arguments of node.
set -e
if [ "${1#-}" != "$1" ] || { [ -n "${1:-}" ] && ! command -v "$1" >/dev/null; } || { [ -f "${1:-}" ] && [ ! -x "$1" ]; }; then
  set -- node "$@"
fi
exec "$@"
