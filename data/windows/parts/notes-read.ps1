# The notes of this kit on this computer, in one file for all folders that were carried here: a
# folder that is copied again, or deleted, must not take the way back along.
function Get-NotesFile {
    Join-Path -Path $env:ProgramData -ChildPath 'vmscert\before.json'
}

# All notes: what -> how it was. Broken notes are told, and never taken for none.
function Read-Note {
    $Noted = @{}
    $Path = Get-NotesFile
    if (-not (Test-Path -LiteralPath $Path)) {
        return $Noted
    }
    try {
        $Json = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
    catch {
        $Json = $null
    }
    $Whole = $Json -is [System.Management.Automation.PSCustomObject]
    if ($Whole) {
        foreach ($Property in $Json.PSObject.Properties) {
            $Noted[$Property.Name] = $Property.Value
            $Whole = $Whole -and $Property.Value -is [string]
        }
    }
    if (-not $Whole) {
        throw ('{0}, in which install.ps1 noted how things were, is broken. Nothing is changed. What to do: restore it from a backup of this computer; if there is none, move it away, and undo.ps1 can not put back what was changed before.' -f $Path)
    }
    $Noted
}
