# inputs: begin
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# part: private-key
# part: accounts
# part: in-use
function Step-UndoAccess {
    $Readers = @((Get-Before).Keys | Where-Object -FilterScript { $_ -like 'Reader *' })
    if ($Readers.Count -eq 0) {
        return 'no access was given'
    }
    $KeyFile = ''
    if (Test-Held -Label $Thumbprint) {
        $KeyFile = [string](Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint)))
    }
    $Users = @(Get-UserOf -Label $Thumbprint -ByHand @($ByHand.Split(',').Trim()))
    if ($KeyFile -and $Users.Count -gt 0 -and -not $WhatIfPreference) {
        throw ('{0} keeps its readers, since it may be in use: {1}.' -f $Thumbprint, ($Users -join '; '))
    }
    foreach ($Reader in $Readers) {
        if ($KeyFile) {
            Revoke-KeyRead -Path $KeyFile -Sid $Reader.Substring(7)
        }
        else {
            '{0} is gone' -f $Reader
            Remove-Before -What $Reader
        }
    }
}
