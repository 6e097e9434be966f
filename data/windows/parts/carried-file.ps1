# A file that was carried here beside this script, unchanged since it was issued.
function Get-CarriedFile {
    param([string]$Name, [string]$Hash)
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $Name
    if (-not (Test-Path -LiteralPath $Path)) {
        throw ('{0} is missing beside this script. Copy the whole folder again.' -f $Name)
    }
    $Found = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash
    if ($Found -ne $Hash) {
        throw ('{0} has changed since it was issued: its SHA-256 is {1}. Copy the whole folder again.' -f $Name, $Found)
    }
    $Path
}
