# inputs: begin
$Thumbprint = ''
$KeyMadeHere = ''
# inputs: end
# part: before
# part: held
function Step-UndoCertificate {
    $What = 'My {0}' -f $Thumbprint
    $InStore = 'Cert:\LocalMachine\My\{0}' -f $Thumbprint
    if ((Get-Before)[$What] -ne 'absent') {
        return ('{0} stays as it is in LocalMachine\My' -f $Thumbprint)
    }
    $Opens = Test-Held -Label $Thumbprint
    if ($KeyMadeHere -and $Opens -and -not $RemoveKey) {
        return ('{0} stays, unused, for its private key was made here and is the only one; undo.ps1 -RemoveKey removes both' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess($Thumbprint, 'Remove it with its private key')) {
        return ('{0} is still in LocalMachine\My' -f $Thumbprint)
    }
    if ($Opens) {
        Remove-Item -LiteralPath $InStore -DeleteKey
    }
    elseif (Test-Path -LiteralPath $InStore) {
        Remove-Item -LiteralPath $InStore
    }
    if (Test-Path -LiteralPath $InStore) {
        throw ('Windows still shows {0} in LocalMachine\My.' -f $Thumbprint)
    }
    Remove-Before -What $What
    '{0} is no longer in LocalMachine\My' -f $Thumbprint
}
