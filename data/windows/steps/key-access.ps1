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
# Each account that a service of this computer really runs as, and each of the site's table. One that
# is unknown here keeps none of the others from its access.
function Step-KeyAccess {
    if (-not (Test-Held -Label $Thumbprint)) {
        return 'there is no private key yet'
    }
    $KeyFile = Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))
    if (-not $KeyFile) {
        throw ('The file of the private key of {0} is not in the key folders of this computer.' -f $Thumbprint)
    }
    $Readers = @(@(Get-RunningAccount -Names $Services) + $Accounts | Select-Object -Unique)
    if ($Readers.Count -eq 0) {
        return 'the table names no account, and no service of XProtect is here yet'
    }
    $Failed = @()
    foreach ($Account in $Readers) {
        try {
            Grant-KeyRead -Path $KeyFile -Account $Account
        }
        catch {
            $Failed += $_.Exception.GetBaseException().Message
        }
    }
    if ($Failed.Count -gt 0) {
        throw ($Failed -join ' ')
    }
}
