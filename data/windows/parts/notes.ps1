# part: notes-read

# Writes all notes through a temporary name: a script that is killed leaves the old ones or the new.
function Save-Note {
    param($Noted)
    if ($WhatIfPreference) {
        return
    }
    $Path = Get-NotesFile
    $null = Get-OwnFolder
    $New = '{0}.new' -f $Path
    [System.IO.File]::WriteAllText($New, (ConvertTo-Json -InputObject $Noted))
    if (Test-Path -LiteralPath $Path) {
        [System.IO.File]::Replace($New, $Path, [System.Management.Automation.Language.NullString]::Value)
    }
    else {
        [System.IO.File]::Move($New, $Path)
    }
}

# The folder of this kit on this computer; it is made, and closed to others, before the first note.
function Get-OwnFolder {
    $Folder = Join-Path -Path $env:ProgramData -ChildPath 'vmscert'
    if (-not (Test-Path -LiteralPath (Get-NotesFile))) {
        $null = [System.IO.Directory]::CreateDirectory($Folder)
        Protect-Folder -Path $Folder
    }
    $Folder
}

# Lets SYSTEM and administrators into a folder, and nobody else: undo.ps1 believes what lies there.
function Protect-Folder {
    param([string]$Path)
    try {
        $Rules = [System.Security.AccessControl.DirectorySecurity]::new()
        $Rules.SetSecurityDescriptorSddlForm('O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
        Set-Acl -LiteralPath $Path -AclObject $Rules
    }
    catch {
        Write-Warning ('{0} could not be closed to others: {1}' -f $Path, $_.Exception.GetBaseException().Message)
    }
}

function Set-Note {
    param([string]$What, [string]$Value)
    $Noted = Read-Note
    $Noted[$What] = $Value
    Save-Note -Noted $Noted
}

function Remove-Note {
    param([string]$What)
    $Noted = Read-Note
    if ($Noted.ContainsKey($What)) {
        $Noted.Remove($What)
        Save-Note -Noted $Noted
    }
}
