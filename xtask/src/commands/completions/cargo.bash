# The words after `cargo xtask`; everything else is completed as before.

# bash-completion loads the completion of cargo when it is first used.
if ! complete -p cargo &> /dev/null; then
    if declare -F _comp_load > /dev/null; then
        _comp_load cargo
    elif declare -F _completion_loader > /dev/null; then
        _completion_loader cargo
    fi
fi
if [[ $(complete -p cargo 2> /dev/null) =~ \ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _cargo_and_xtask ]]; then
    _cargo_without_xtask=${BASH_REMATCH[1]}
fi

_cargo_and_xtask() {
    if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} == xtask ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        ((COMP_CWORD -= 1))
        _xtask xtask "$2" "$3"
    elif [[ $_cargo_without_xtask ]]; then
        "$_cargo_without_xtask" "$@"
    fi
}

complete -F _cargo_and_xtask -o bashdefault -o default cargo
