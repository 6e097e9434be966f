# What install.ps1 noted before it changed something: what -> how it was.
function Get-Before {
    $Noted = @{}
    $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
    if (Test-Path -LiteralPath $Path) {
        $Json = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
        foreach ($Property in $Json.PSObject.Properties) {
            $Noted[$Property.Name] = [string]$Property.Value
        }
    }
    $Noted
}

# Forgets how something was, once it is so again.
function Remove-Before {
    param([string]$What)
    $Noted = Get-Before
    $Noted.Remove($What)
    $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
    [System.IO.File]::WriteAllText($Path, (ConvertTo-Json -InputObject $Noted))
}

# Notes how something was, once: a second run must not take its own change for the old state.
function Add-Before {
    param([string]$What, [string]$Was)
    $Noted = Get-Before
    if (-not $Noted.ContainsKey($What)) {
        $Noted[$What] = $Was
        $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
        [System.IO.File]::WriteAllText($Path, (ConvertTo-Json -InputObject $Noted))
    }
}
