# inputs: begin
$ComputerName = ''
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# part: private-key
# part: accounts
function Step-UndoAccess {
    $Readers = @((Get-Before).Keys | Where-Object -FilterScript { $_ -like 'Reader *' })
    if ($Readers.Count -eq 0 -or -not (Test-Held -Label $Thumbprint)) {
        return 'no access was given'
    }
    $KeyFile = Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))
    foreach ($Reader in $Readers) {
        Revoke-KeyRead -Path $KeyFile -Sid $Reader.Substring(7)
    }
}
