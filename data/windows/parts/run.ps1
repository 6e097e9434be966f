# One line of the log, which the inventory brings back. Nothing fails for want of it.
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
    try {
        [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), $Text)
    }
    catch {
        Write-Warning ('log.jsonl could not be written: {0}' -f $_.Exception.GetBaseException().Message)
    }
}

# Runs one step if this phase has it, and says how it ended. A step that fails ends the script; what
# it had done by then is told, too.
function Invoke-Step {
    param([string]$In, [string]$Name, [scriptblock]$Deed, [string]$Remedy)
    if ($Phases -notcontains $In) {
        return
    }
    $Said = [System.Collections.ArrayList]::new()
    try {
        & $Deed | ForEach-Object -Process { $null = $Said.Add($_) }
    }
    catch {
        $Detail = @($Said) + @($_.Exception.GetBaseException().Message) -join '; '
        Add-LogLine -Step $Name -Result 'failed' -Detail $Detail
        throw ('Step {0}: {1} What to do: {2}' -f $Name, $Detail, $Remedy)
    }
    $Detail = @($Said) -join '; '
    Add-LogLine -Step $Name -Result 'done' -Detail $Detail
    Write-Output ('{0}: {1}' -f $Name, $Detail)
}

# Ends a visit with the inventory, whatever came before.
function Invoke-Inventory {
    if ($WhatIfPreference) {
        return
    }
    try {
        & (Join-Path -Path $PSScriptRoot -ChildPath 'inventory.ps1')
    }
    catch {
        Write-Warning ('No inventory was written: {0}' -f $_.Exception.GetBaseException().Message)
    }
}
