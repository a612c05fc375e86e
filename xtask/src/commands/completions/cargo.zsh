# The words after `cargo xtask`; everything else is completed as before.

if [[ ${_comps[cargo]} != _cargo_and_xtask ]]; then
    _cargo_without_xtask=${_comps[cargo]}
fi

_cargo_and_xtask() {
    if (( CURRENT > 2 )) && [[ ${words[2]} == xtask ]]; then
        shift words
        (( CURRENT -= 1 ))
        _xtask
    elif [[ -n $_cargo_without_xtask ]]; then
        $_cargo_without_xtask "$@"
    fi
}

compdef _cargo_and_xtask cargo
