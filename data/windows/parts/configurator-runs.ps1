# part: configurator

# Whether a Server Configurator works here: somebody has its window open, or a script that was killed
# left it working. It answers -4 itself then, even where its process can't be seen.
function Test-ConfiguratorRuns {
    try {
        if (@(Get-Process -Name 'ServerConfigurator').Count -gt 0) {
            return $true
        }
    }
    catch {
        $null = 'PowerShell calls it an error that no process has this name'
    }
    if (-not (Find-Configurator)) {
        return $false
    }
    (Invoke-ServerConfigurator -Arguments '/listcertificategroups').Code -eq '-4'
}
