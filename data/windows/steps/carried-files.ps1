# inputs: begin
$Files = @()
$Hashes = @()
# inputs: end
function Step-CarriedFile {
    foreach ($File in $Files) {
        $Path = Join-Path -Path $PSScriptRoot -ChildPath $File
        if (-not (Test-Path -LiteralPath $Path)) {
            throw ('{0} is missing beside this script.' -f $File)
        }
        if ((Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash -ne $Hashes[[array]::IndexOf($Files, $File)]) {
            throw ('{0} has changed since it was made: its SHA-256 is another one.' -f $File)
        }
    }
    '{0} files are as they were made' -f $Files.Count
}
