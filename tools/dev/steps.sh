# Shows work as numbered steps with elapsed time; sourced by ./dev.
mkdir -p build/log
STEP=0
STEPS=0
JOBS=${TIDEGATE_JOBS:-$(nproc)}
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
# Two checkouts share their objects: paths below the checkout are hashed as relative.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

plan_steps() { STEPS=$1; }

# A duration in seconds, as people say it.
spell() {
  if [ "$1" -ge 60 ]; then echo "$(($1 / 60)) min $(($1 % 60)) s"; else echo "$1 s"; fi
}

# step TITLE LOG COMMAND…: runs it with its output in build/log/LOG.log; on failure prints the end of
# it and exits. With TIDEGATE_VERBOSE=1 the output is shown as it comes.
# A function given as COMMAND ends at its first failing command. bash ignores set -e in all that is called from before
# || or && or from a condition: the command below does not stand there, and a step that does is refused.
step() {
  local title=$1 log=build/log/$2.log started=$SECONDS status
  shift 2
  STEP=$((STEP + 1))
  printf '[%d/%d] %s … ' "$STEP" "$STEPS" "$title"
  [ "${TIDEGATE_VERBOSE:-}" = 1 ] && printf '\n'
  set +e
  (set -e; false; true)
  if [ $? -eq 0 ]; then
    echo "Error: this step is called in a condition, where bash ignores its failures"
    exit 2
  fi
  take_checkout
  if [ "${TIDEGATE_VERBOSE:-}" = 1 ]; then
    (set -e; "$@") </dev/null 2>&1 9>&- | tee "$log"
    status=${PIPESTATUS[0]}
  else
    (set -e; "$@") </dev/null >"$log" 2>&1 9>&-
    status=$?
  fi
  exec 9>&-
  set -e
  if [ "$status" -ne 0 ]; then
    printf 'failed after %s\n' "$(spell $((SECONDS - started)))"
    # What a reader needs is the first error of a compiler or the last lines of anything else.
    { grep -m 8 -nE '(error|FAILED|Error):? ' "$log" || true; echo '  …'; tail -n 25 "$log"; } | sed 's/^/    /' | cut -c1-300
    printf '  The whole log: %s\n' "$log"
    remedy "$log"
    exit 1
  fi
  printf 'done in %s   (log: %s)\n' "$(spell $((SECONDS - started)))" "$log"
}

# Two steps at once in one checkout would configure, build or install over each other.
take_checkout() {
  exec 9>>build/log/lock
  flock -n 9 && return
  printf 'waits for another ./dev in this folder … '
  flock 9
}

remedy() {
  if grep -qiE 'no space left' "$1"; then
    echo "  Remedy: the disk is full; free some space (rm -rf build is safe), then run the command again."
  elif grep -qiE 'could not resolve|temporary failure|connection (timed out|refused)|network is unreachable' "$1"; then
    echo "  Remedy: a package registry could not be reached; check the network or proxy, then run the command again."
  elif grep -qiE 'killed|out of memory|cannot allocate' "$1"; then
    echo "  Remedy: memory ran out; try TIDEGATE_JOBS=1 $0 …"
  else
    echo "  Remedy: read the lines above; after a change of toolchain, rm -rf build and run the command again."
  fi
}
