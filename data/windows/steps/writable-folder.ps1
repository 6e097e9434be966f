function Step-WritableFolder {
    if ($WhatIfPreference) {
        return 'it is not tried whether this folder can be written to'
    }
    [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), '')
    'this folder can be written to'
}
