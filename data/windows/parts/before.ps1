# inputs: begin
$Made = ''
# inputs: end
# part: notes
# What this folder noted before it changed something: what -> how it was.
function Get-Before {
    $Noted = @{}
    $All = Read-Note
    foreach ($What in $All.Keys) {
        if ($What.StartsWith(('{0} ' -f $Made))) {
            $Noted[$What.Substring($Made.Length + 1)] = $All[$What]
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
    Remove-Note -What ('{0} {1}' -f $Made, $What)
}
