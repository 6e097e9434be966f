# One line of the log, which the inventory brings back.
function Add-LogLine {
    param([string]$Step, [string]$Result, [string]$Detail)
    if ($WhatIfPreference) {
        return
    }
    $Line = [ordered]@{
        at = [System.DateTime]::UtcNow.ToString('s') + 'Z'
        step = $Step
        result = $Result
        detail = $Detail
    }
    $Text = (ConvertTo-Json -InputObject $Line -Compress) + [System.Environment]::NewLine
    [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), $Text)
}

# Runs one step if this phase has it, and says how it ended. A step that fails ends the script.
function Invoke-Step {
    param([string]$In, [string]$Name, [scriptblock]$Deed, [string]$Remedy)
    if ($Phases -notcontains $In) {
        return
    }
    try {
        $Detail = @(& $Deed) -join '; '
    }
    catch {
        $Detail = $_.Exception.Message
        Add-LogLine -Step $Name -Result 'failed' -Detail $Detail
        throw ('Step {0}: {1} What to do: {2}' -f $Name, $Detail, $Remedy)
    }
    Add-LogLine -Step $Name -Result 'done' -Detail $Detail
    Write-Output ('{0}: {1}' -f $Name, $Detail)
}
