# Completes command lines of run_benchmarks.py in zsh. In ~/.zshrc, behind compinit:
#     eval "$(python run_benchmarks.py completion zsh)"
_run_benchmarks() {
    local -a command found
    local at=2
    command=("${words[1]}")
    if [[ ${words[1]:t} == python* ]]; then
        if [[ ${words[2]:t} != run_benchmarks.py || $CURRENT -lt 3 ]]; then
            $_run_benchmarks_python
            return
        fi
        command+=("${words[2]}")
        at=3
    fi
    found=("${(@f)$("${command[@]}" completion words "${(@)words[at,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ! $#found )); then
        _files
        return
    fi
    compadd -S '' -- ${(M)found:#*[.=:/]} # the word goes on
    compadd -- ${found:#*[.=:/]}
}
: ${_run_benchmarks_python:=${_comps[python]:-_files}}
compdef _run_benchmarks run_benchmarks.py python python3
