#!/usr/bin/env bash
# A shell script that logs its steps: each command is timed, and its last line of output is the observation.
# Runs offline: `bash examples/build.sh`, then `otel-episodes episodes`.
set -uo pipefail

episode=$(otel-episodes start "Check the toolchain" --agent ci --task-type build --language shell) || exit 1
outcome=success

run() { # run TOOL COMMAND...: the command itself, and a step that says how it went
  local tool=$1 begin status output
  shift
  begin=$(date +%s%N)
  output=$("$@" 2>&1)
  status=$?
  local flags=(--tool "$tool" --action "$*" --latency-ms $((($(date +%s%N) - begin) / 1000000)))
  [ $status -eq 0 ] || { flags+=(--failed); outcome=failure; }
  otel-episodes step "$episode" "${flags[@]}" --observation "$(tail -n 1 <<<"$output")"
}

run python python3 --version
run git git --version
run list ls /nowhere
otel-episodes complete "$episode" --outcome "$outcome"
