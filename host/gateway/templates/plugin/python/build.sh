#!/bin/sh
# Builds the component: @NAME@.wasm. Takes componentize-py from the PATH, else from a virtual environment made here.
set -eu
cd "$(dirname "$0")"
componentize=$(command -v componentize-py || true)
if [ -z "$componentize" ]; then
  componentize=.venv/bin/componentize-py
  if [ ! -x "$componentize" ]; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
  fi
fi
"$componentize" --wit-path wit --world @WORLD@ componentize --python-path src --output @NAME@.wasm app
