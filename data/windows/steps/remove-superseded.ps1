# inputs: begin
$Thumbprint = ''
$Superseded = @()
# inputs: end
# part: before
# part: held
# part: private-key
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
    $Certificate = Get-Item -LiteralPath $InStore
    $KeyFile = ''
    if (Test-Path -LiteralPath (Get-ConfigurationFile).Management) {
        try {
            $KeyFile = [string](Get-KeyFile -Certificate $Certificate)
        }
        catch {
            $KeyFile = ''
        }
    }
    if ($KeyFile -or -not (Test-KeyOpens -Certificate $Certificate)) {
        Remove-Item -LiteralPath $InStore
    }
    else {
        Remove-Item -LiteralPath $InStore -DeleteKey
    }
    if (Test-Path -LiteralPath $InStore) {
        throw ('Windows still shows {0} in LocalMachine\My.' -f $Label)
    }
    if ($KeyFile) {
        return ('{0} is removed; its private key stays in {1}, in case a login provider uses it' -f $Label, $KeyFile)
    }
    '{0} is removed with its private key' -f $Label
}
