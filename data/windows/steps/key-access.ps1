# inputs: begin
$ComputerName = ''
$Thumbprint = ''
$Accounts = @()
$Services = @()
# inputs: end
# part: before
# part: held
# part: private-key
# part: accounts
# Each account of the site's table, and each that a service of this computer really runs as.
function Step-KeyAccess {
    if (-not (Test-Held -Label $Thumbprint)) {
        return 'there is no private key yet'
    }
    $KeyFile = Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))
    if (-not $KeyFile) {
        throw ('The file of the private key of {0} is not in the key folders of this computer.' -f $Thumbprint)
    }
    $Readers = @($Accounts + (Get-RunningAccount -Names $Services))
    if ($Readers.Count -eq 0) {
        return 'the table names no account, and no service of XProtect is here yet'
    }
    foreach ($Account in $Readers) {
        Grant-KeyRead -Path $KeyFile -Account $Account
    }
}
