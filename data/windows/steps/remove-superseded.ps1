# inputs: begin
$Thumbprint = ''
$Superseded = @()
# inputs: end
# part: before
# part: held
# part: in-use
function Step-RemoveSuperseded {
    foreach ($Old in $Superseded) {
        $InStore = 'Cert:\LocalMachine\My\{0}' -f $Old
        if (-not (Test-Path -LiteralPath $InStore)) {
            '{0} is not here' -f $Old
            continue
        }
        $Users = @(Get-UserOf -Label $Old -ByHand @($ByHand.Split(',').Trim()))
        if ($Users.Count -gt 0) {
            throw ('{0} may still be in use: {1}.' -f $Old, ($Users -join '; '))
        }
        if (-not (Test-Held -Label $Thumbprint)) {
            throw ('{0} stays: its successor {1} is not here with its private key. What to do: run install.ps1 without -Phase first.' -f $Old, $Thumbprint)
        }
        if ($PSCmdlet.ShouldProcess($Old, 'Remove it')) {
            Remove-Superseded -InStore $InStore -Label $Old
        }
        else {
            '{0} is still here' -f $Old
        }
    }
}

# Removes a certificate with its private key. On a management server the key stays: a login provider
# may use a certificate by its thumbprint, and nothing on this computer tells of that.
function Remove-Superseded {
    param([string]$InStore, [string]$Label)
    $Opens = Test-KeyOpens -Certificate (Get-Item -LiteralPath $InStore)
    $Keep = Test-Path -LiteralPath (Get-ConfigurationFile).Management
    if ($Opens -and -not $Keep) {
        Remove-Item -LiteralPath $InStore -DeleteKey
    }
    else {
        Remove-Item -LiteralPath $InStore
    }
    if (Test-Path -LiteralPath $InStore) {
        throw ('Windows still shows {0} in LocalMachine\My.' -f $Label)
    }
    if (-not $Opens) {
        return ('{0} is removed; it had no private key that opens' -f $Label)
    }
    if ($Keep) {
        return ('{0} is removed; its private key stays on this computer, in case a login provider uses it' -f $Label)
    }
    '{0} is removed with its private key' -f $Label
}
