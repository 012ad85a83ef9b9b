# Completes command lines of run_benchmarks.py in bash. In ~/.bashrc:
#     eval "$(python run_benchmarks.py completion bash)"
_run_benchmarks() {
    local -a words command
    local at=1 last cut line
    COMPREPLY=()
    # Not COMP_WORDS, in which bash has split the words at = and colons.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:COMP_POINT-1:1} == [[:space:]] ]] && words+=("")
    command=("${words[0]}")
    if [[ ${words[0]##*/} == python* ]]; then
        [[ ${words[1]##*/} == run_benchmarks.py && ${#words[@]} -gt 2 ]] || return
        command+=("${words[1]}")
        at=2
    fi
    last="${words[${#words[@]} - 1]}"
    cut="${last%"${last##*[=:]}"}"
    while IFS= read -r line; do
        COMPREPLY+=("${line#"$cut"}")
    done < <("${command[@]}" completion words "${words[@]:at}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[.=:/] ]]; then
        compopt -o nospace 2>/dev/null # the word goes on
    fi
}
complete -o default -F _run_benchmarks run_benchmarks.py python python3
