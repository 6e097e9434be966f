# inputs: begin
$Thumbprint = ''
# inputs: end
# part: before
# Without notes nobody knows what to put back: they are lost, or install.ps1 of another folder
# brought the certificate.
function Step-WayBack {
    if ($All) {
        $script:Counted = @($Made) + @((Read-Note).Keys | Where-Object -FilterScript { $_ -match '^\d{4}-' } | ForEach-Object -Process { $_.Split(' ')[0] }) | Sort-Object -Unique
    }
    $Noted = Get-Before
    if ($Noted.Count -eq 0 -and (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        $Others = @((Read-Note).Keys | Where-Object -FilterScript { $_ -like ('* My {0}' -f $Thumbprint) } | ForEach-Object -Process { $_.Split(' ')[0] })
        $Where = 'bring {0} back from a backup of this computer' -f (Get-NotesFile)
        if ($Others.Count -gt 0) {
            $Where = 'run undo.ps1 of the folder that was made {0}' -f ($Others -join ' or ')
        }
        throw ('This folder has no notes of how {0} was before, and the certificate {1} is here. What to do: {2}; else go back by hand, as the page says.' -f $env:COMPUTERNAME, $Thumbprint, $Where)
    }
    '{0} notes tell how things were' -f $Noted.Count
}
