# ./dev test and ./dev lint; sourced by ./dev.

# Sanitizers stop at the first finding; a leak is a finding.
export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
# libarrow is not instrumented.
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:second_deadlock_stack=1

ctest_in() {
  local preset=$1
  shift
  (cd "build/$preset" && ctest --output-on-failure --no-tests=error -j "$JOBS" "$@")
}

# They wait more than they compute, so one more at a time than there are processors. A file stays on one worker: its
# tests share what they start. For one at a time: ./dev test --only e2e -n 0
e2e() { .tools/venv/bin/python -m pytest tests/e2e -q --tb=short -n $((JOBS + 1)) --dist loadfile "$@"; }
mutants() { .tools/venv/bin/python tools/mutants "$@"; }

stage_unit() {
  step "Configure the ASan+UBSan build" configure-asan configure asan
  step "Build the unit and contract tests" build-asan compile asan tidegate_tests
  step "Run the unit and contract tests" test-unit ctest_in asan -L unit "$@"
  tail -n 6 build/log/test-unit.log | grep -E 'tests passed|tests failed' | sed 's/^/      /'
}
stage_threads() {
  step "Configure the TSan build" configure-tsan configure tsan
  step "Build the thread tests" build-tsan compile tsan tidegate_tests
  step "Run the thread tests" test-threads ctest_in tsan "$@"
  tail -n 6 build/log/test-threads.log | grep -E 'tests passed|tests failed' | sed 's/^/      /'
}
stage_oracle() {
  step "Build the cron oracle" build-oracle compile release cron_oracle
  step "Compare cron with the brute-force oracle" test-oracle oracle_under_zones "$@"
}
oracle_under_zones() {
  local zone
  for zone in UTC America/New_York Australia/Lord_Howe; do
    TZ=$zone build/release/bin/cron_oracle "$@"
  done
}
stage_mutants() { step "Build and kill the mutants" test-mutants mutants "$@"; tail -n 1 build/log/test-mutants.log | sed 's/^/      /'; }
# The last stage, in the foreground: pytest's closing line is the last line of ./dev test.
stage_e2e() {
  STEP=$((STEP + 1))
  printf '[%d/%d] Run the end-to-end tests on the release binaries …\n' "$STEP" "$STEPS"
  take_checkout
  e2e "$@" 9>&-
  exec 9>&-
}

run_test() {
  local only=
  if [ "${1:-}" = --only ]; then
    only=${2:-}
    case "$only" in
      unit | threads | oracle | mutants | e2e) shift 2 ;;
      *) echo "./dev test: --only takes unit, threads, oracle, mutants or e2e" >&2; exit 2 ;;
    esac
    case "$only" in
      unit | threads) plan_steps $((SETUP_STEPS + 3)) ;;
      mutants) plan_steps $((SETUP_STEPS + 1)) ;;
      oracle) plan_steps $((SETUP_STEPS + BUILD_STEPS + 2)) ;;
      e2e) plan_steps $((SETUP_STEPS + BUILD_STEPS + 1)) ;;
    esac
    run_setup
    case "$only" in oracle | e2e) run_build ;; esac
    "stage_$only" "$@"
    [ "$only" = e2e ] || [ "$only" = mutants ] || tail -n 4 "build/log/test-$only.log"
    return
  fi
  plan_steps $((SETUP_STEPS + BUILD_STEPS + 3 + 3 + 1 + 2 + 1))
  run_setup
  run_build
  stage_unit
  stage_threads
  stage_mutants
  stage_oracle
  stage_e2e "$@"
}

format_sources() {
  git ls-files -z --cached --others --exclude-standard '*.cc' '*.h' | xargs -0 -r clang-format-19 "$@"
}

# The headers that a file includes are known from its build.
tidy() { compile release tidegate tidegate-sync && .tools/venv/bin/python tools/tidy --jobs "$JOBS"; }

scripts_parse() {
  local f
  for f in dev .ci/run tools/dev/*.sh; do bash -n "$f"; done
  for f in deploy/make_secrets deploy/debian/p*; do sh -n "$f"; done
  "$(tool_node)" --check deploy/mongo/setup.js
  git ls-files '*.py' tools | while read -r f; do
    case "$f" in *.py) ;; *) head -c 64 "$f" | grep -q python || continue ;; esac
    .tools/venv/bin/python -m py_compile "$f"
  done
}

openapi_lints() {
  .tools/venv/bin/python tools/openapi_bundle build/openapi.json api/openapi.yaml $(ls api/*.yaml | grep -v openapi.yaml)
  "$(tool_node)" tools/openapi_lint/lint.mjs .tools/openapi_lint/node_modules build/openapi.json
}

run_lint() {
  step "Check the formatting (mend with ./dev fmt)" lint-format format_sources --dry-run -Werror
  step "Check scripts" lint-scripts scripts_parse
  step "Configure the release build" configure-release configure release
  # With the tests: their modules and files are part of the tree.
  step "Configure the ASan+UBSan build" configure-asan configure asan
  step "Check the tree's rules" lint-tree .tools/venv/bin/python tools/check_tree build/asan
  step "Lint the OpenAPI document" lint-openapi openapi_lints
  step "Run clang-tidy" lint-tidy tidy
}
