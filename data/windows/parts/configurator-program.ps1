# The services of XProtect on this computer.
function Get-MilestoneService {
    Get-CimInstance -ClassName Win32_Service | Where-Object -FilterScript { ('{0} {1}' -f $_.Name, $_.DisplayName) -match 'Milestone|XProtect|VideoOS' }
}

# Where Server Configurator may lie, if it is not among the programs: beside the programs of XProtect,
# of which the services and the registry tell.
function Get-ConfiguratorPlace {
    $Programs = @(Get-MilestoneService | Where-Object -FilterScript { $_.PSObject.Properties['PathName'] } | ForEach-Object -Process { [string]$_.PathName })
    $Programs += '{0}\program.exe' -f [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Milestone\XProtect Mobile Server', 'INSTALLATIONFOLDER', '')
    foreach ($Program in $Programs) {
        if ($Program -match '^"?(.+)[\\/][^\\/"]+[\\/][^\\/"]+\.exe') {
            '{0}\Server Configurator\ServerConfigurator.exe' -f $Matches[1]
        }
    }
}

# The program of Server Configurator, or nothing.
function Search-Configurator {
    if (Test-Path -LiteralPath $env:ProgramFiles) {
        $Programs = Join-Path -Path $env:ProgramFiles -ChildPath '*\Server Configurator\ServerConfigurator.exe'
        foreach ($Program in @(Get-ChildItem -Path $Programs)) {
            return $Program
        }
    }
    foreach ($Place in @(Get-ConfiguratorPlace)) {
        if (Test-Path -LiteralPath $Place) {
            return Get-Item -LiteralPath $Place
        }
    }
}

# The same, looked for no more once it is found: a visit asks dozens of times.
$Configurator = $null
function Find-Configurator {
    if (-not $Configurator) {
        $script:Configurator = Search-Configurator
    }
    $Configurator
}

# Whether anything of XProtect is installed here; what can't be looked at counts as installed.
function Test-Installed {
    try {
        (Find-Configurator) -or @(Get-MilestoneService).Count -gt 0
    }
    catch {
        $true
    }
}
