# shellcheck shell=bash
# What the launch scripts share; they source it. Options are --KEY=VALUE or --KEY and set the
# variable KEY; what follows -- is for the trainer.

dry_run=false

# Prints the comment that a script opens with.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# Bad input: one message, exit code 2.
fail() {
    echo "error: $*" >&2
    exit 2
}

# The words as one would type them.
quoted() {
    local word line=
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+="${line:+ }$word"
    done
    echo "$line"
}

# Runs a command; with --dry_run prints it instead.
perform() {
    if [[ $dry_run == true ]]; then quoted "$@"; else "$@"; fi
}

# parse "NAMES" "$@": sets the options; what follows -- is left in `arguments`.
parse() {
    local names="$1 dry_run" key value
    arguments=()
    shift
    while (($#)); do
        key=${1%%=*} key=${key#--} value=${1#*=}
        case $1 in
        --)
            arguments=("${@:2}")
            return
            ;;
        --help)
            usage
            exit 0
            ;;
        --*=*) ;;
        --*) value=true ;;
        *) fail "unexpected argument $1; the trainer's arguments go after --" ;;
        esac
        [[ " $names " == *" $key "* ]] || fail "unknown option --$key; there are: $names"
        printf -v "$key" %s "$value"
        shift
    done
}

# The trainer cannot do without a config.
need_config() {
    [[ " ${arguments[*]-}" == *" --config="* ]] ||
        fail "give the trainer's arguments after --, such as -- --config=configs/sudoku_extreme.py"
}

# need_numbers NAMES: these options are whole numbers.
need_numbers() {
    local key
    for key in "$@"; do
        [[ ${!key} =~ ^[0-9]+$ ]] || fail "--$key=${!key} is not a whole number"
    done
}
