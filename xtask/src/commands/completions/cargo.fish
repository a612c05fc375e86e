# The words after `cargo xtask`; everything else is completed as before.

function __cargo_is_xtask
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test "$words[2]" = xtask
end

function __cargo_complete_xtask
    set -l words (commandline -opc)
    complete --do-complete (string join ' ' -- $words[2..-1] (commandline -ct))
end

complete -c cargo -f -n __cargo_is_xtask -a '(__cargo_complete_xtask)'
