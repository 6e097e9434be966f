# inputs: begin
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# part: private-key
# part: accounts
function Step-UndoAccess {
    $Readers = @((Get-Before).Keys | Where-Object -FilterScript { $_ -like 'Reader *' })
    if ($Readers.Count -eq 0) {
        return 'no access was given'
    }
    $KeyFile = ''
    if (Test-Held -Label $Thumbprint) {
        $KeyFile = [string](Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint)))
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
