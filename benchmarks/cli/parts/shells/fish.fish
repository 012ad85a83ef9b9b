# Completes command lines of run_benchmarks.py in fish. In ~/.config/fish/config.fish:
#     python run_benchmarks.py completion fish | source
function __run_benchmarks_words
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -a words "$last" # one word, even if it is empty
    set -l command $words[1]
    set -l typed $words[2..]
    if string match -qr '(^|/)python[^/]*$' -- $words[1]
        set command $words[1..2]
        set typed $words[3..]
    end
    set -l found ($command completion words $typed 2>/dev/null)
    if test (count $found) -gt 0
        string join \n -- $found
    else
        __fish_complete_path (commandline -ct)
    end
end
function __run_benchmarks_is_called
    set -l words (commandline -opc)
    test (count $words) -gt 1; and string match -qr '(^|/)run_benchmarks\.py$' -- $words[2]
end
complete -c run_benchmarks.py -f -a '(__run_benchmarks_words)'
for python in python python3
    complete -c $python -n __run_benchmarks_is_called -f -a '(__run_benchmarks_words)'
end
