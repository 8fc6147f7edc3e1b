# The commands of a working day: `just` lists them. Each line also works without just.

_list:
    @just --list --unsorted

# What is quick and must hold: format, house rules, clippy.
check:
    cargo fmt --all --check
    python3 .ci/house.py
    cargo clippy --workspace --all-targets --locked -- -D warnings

# All tests, or those whose path holds NAME.
test NAME="":
    cargo test --workspace {{NAME}}

# Stories with real processes: all, or those whose path holds STORY, such as `provenance`.
town STORY="":
    cargo test -p fyteclub-tests --test stories {{STORY}}

# Each fuzz target whose path holds TARGET for SECONDS, with new inputs every time.
fuzz TARGET="" SECONDS="60":
    FYTECLUB_FUZZ_SECONDS={{SECONDS}} cargo test --release -p fyteclub-fuzz {{TARGET}}

# Write the golden files of new messages; read the difference before you commit it.
bless:
    BLESS=1 cargo test -p fyteclub-proto --test integration golden
    git status --short proto/golden

# One benchmark of tests/benches, such as `bulk`; docs/performance.md says what each measures.
bench NAME *ARGS:
    cargo bench -p fyteclub-tests --bench {{NAME}} -- {{ARGS}}

# A phone book and two daemons here, and a mod from one to the other.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Line coverage of each crate, processes included, against its floor.
coverage:
    .ci/coverage

# Everything that must hold before a change goes in.
ci *ARGS:
    .ci/run {{ARGS}}
