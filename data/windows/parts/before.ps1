# inputs: begin
$Made = ''
# inputs: end
# part: notes
# The folders whose notes count, oldest first: this one, with undo.ps1 -All each that was here.
$Counted = @($Made)

# What these folders noted before they changed something: what -> how it was before the first.
function Get-Before {
    $Noted = @{}
    $Notes = Read-Note
    foreach ($Folder in $Counted) {
        foreach ($What in $Notes.Keys) {
            if ($What.StartsWith(('{0} ' -f $Folder)) -and -not $Noted.ContainsKey($What.Substring($Folder.Length + 1))) {
                $Noted[$What.Substring($Folder.Length + 1)] = $Notes[$What]
            }
        }
    }
    $Noted
}

# Notes how something was, once: a second run must not take its own change for the old state.
function Add-Before {
    param([string]$What, [string]$Was)
    if (-not (Get-Before).ContainsKey($What)) {
        Set-Note -What ('{0} {1}' -f $Made, $What) -Value $Was
    }
}

# Forgets how something was, once it is so again. That this folder was undone is kept: no notes at
# all would mean that they are lost.
function Remove-Before {
    param([string]$What)
    Set-Note -What ('{0} undone' -f $Made) -Value 'yes'
    foreach ($Folder in $Counted) {
        Remove-Note -What ('{0} {1}' -f $Folder, $What)
    }
}
