<#
.SYNOPSIS
    Prints as JSON which public members of some names some types have, by the assemblies of a folder
    or, where it is called ps7, of this PowerShell.
#>
param([string]$Cecil, [string]$Folder, [string]$Question)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
Add-Type -LiteralPath $Cecil
$Asked = Get-Content -Raw -LiteralPath $Question | ConvertFrom-Json
$Places = if ($Folder -eq 'ps7') { (Join-Path $PSHOME 'ref'), $PSHOME } else { $Folder }
$Modules = foreach ($File in $Places | Get-ChildItem -Filter '*.dll') {
    try { [Mono.Cecil.ModuleDefinition]::ReadModule($File.FullName) } catch { $null = 'not .NET' }
}
$Known = @{}

function Find-Type($Name) {
    if (-not $Known.ContainsKey($Name)) {
        $Known[$Name] = $Modules | ForEach-Object { $_.GetType($Name.Replace('+', '/')) } | Select-Object -First 1
    }
    $Known[$Name]
}

# How many arguments a method takes: optional ones may be left out, and `params` take any number.
function Get-Count($Method) {
    $Last = $Most = $Method.Parameters.Count
    $Least = $Last - @($Method.Parameters | Where-Object IsOptional).Count
    if ($Last -and @($Method.Parameters[$Last - 1].CustomAttributes | Where-Object { $_.AttributeType.Name -eq 'ParamArrayAttribute' })) {
        $Least, $Most = ($Last - 1), ($Last + 4)
    }
    @($Least..$Most)
}

function Get-Member($Type) {
    foreach ($Method in $Type.Methods) {
        $Name = if ($Method.IsConstructor) { 'new' } else { $Method.Name }
        if ($Method.IsPublic -and $Name -in $Asked.names -and -not ($Method.IsConstructor -and $Type.FullName -ne $Of)) {
            $Use = if ($Method.IsConstructor) { 'new' } elseif ($Method.IsStatic) { 'static method' } else { 'method' }
            @{ type = $Type.FullName; member = $Name; use = $Use; arguments = @(Get-Count $Method); returns = $Method.ReturnType.FullName }
        }
    }
    foreach ($Property in $Type.Properties) {
        $Get, $Set = ($Property.GetMethod -and $Property.GetMethod.IsPublic), ($Property.SetMethod -and $Property.SetMethod.IsPublic)
        if (($Get -or $Set) -and $Property.Name -in $Asked.names) {
            $Static = if (($Property.GetMethod ?? $Property.SetMethod).IsStatic) { 'static ' }
            @{ type = $Type.FullName; member = $Property.Name; use = "${Static}property"; readable = [bool]$Get; writable = [bool]$Set; returns = $Property.PropertyType.FullName }
        }
    }
    foreach ($Field in $Type.Fields) {
        if ($Field.IsPublic -and $Field.Name -in $Asked.names) {
            $Static = if ($Field.IsStatic) { 'static ' }
            @{ type = $Type.FullName; member = $Field.Name; use = "${Static}property"; readable = $true; writable = -not $Field.IsInitOnly -and -not $Field.HasConstant; returns = $Field.FieldType.FullName }
        }
    }
}

$Answer = @{}
foreach ($Of in $Asked.types) {
    $Type = Find-Type $Of
    if (-not $Type) { continue }
    $Members = for ($Above = $Type; $Above; $Above = if ($Above.BaseType) { Find-Type $Above.BaseType.GetElementType().FullName }) {
        Get-Member $Above
    }
    $Answer[$Of] = @{ assembly = $Type.Module.Assembly.Name.Name; members = @($Members) }
}
ConvertTo-Json -InputObject $Answer -Depth 5 -Compress
