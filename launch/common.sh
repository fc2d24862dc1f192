# shellcheck shell=bash
# Functions that the launch scripts share; each script sources this file.
#
# Options are written --KEY=VALUE, or --KEY for a switch, and set the shell variable KEY. Arguments
# after -- belong to the trainer; `parse` leaves them in the array `arguments`.

dry_run=false

# Prints the comment at the top of the script, which is its help text.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# Reports bad input in one message and exits with code 2.
fail() {
    echo "error: $*" >&2
    exit 2
}

# Reports progress. Neither a full disk nor a reader that has left ends the script.
note() { (trap '' PIPE && echo "$*" >&2) || true; }

# Prints words with the quotes that a shell needs.
quoted() {
    local word line=
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+="${line:+ }$word"
    done
    echo "$line"
}

# Runs a command; with --dry_run, prints it instead.
perform() {
    if [[ $dry_run == true ]]; then quoted "$@"; else "$@"; fi
}

# parse "NAMES" "$@": sets the options NAMES and the array `arguments`.
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
        --help | -h)
            usage
            exit 0
            ;;
        --*=*) ;;
        --*) value=true ;;
        *) fail "unexpected argument $1; the arguments of the trainer go after --" ;;
        esac
        [[ " $names " == *" $key "* ]] || fail "unknown option --$key; the options are: $names"
        printf -v "$key" %s "$value"
        shift
    done
}

# Checks that the trainer's arguments name a config: as the first word, or as --config=CONFIG.
need_config() {
    local first=${arguments[0]-}
    [[ -n $first && $first != -* || " ${arguments[*]-}" == *" --config="* ]] ||
        fail "name the config after --, for example: -- sudoku_extreme"
}

# need_numbers NAMES: checks that these options are whole numbers.
need_numbers() {
    local key
    for key in "$@"; do
        [[ ${!key} =~ ^[0-9]+$ ]] || fail "--$key=${!key} is not a whole number"
    done
}
